/**
 * Whom a certificate is about. The name stands as a URI in the subject's alternative names, urn:twinwatch:<federation>:<role>:<name>, which is what
 * this product reads; and shorter as common name, for brokers that take their user from there (mosquitto's use_identity_as_username).
 */

export type CertificateRole = 'agent' | 'server' | 'broker' | 'operator';

export interface CertificateName {
  readonly federation: string;
  readonly role: CertificateRole;
  /** The agent's id for agents. */
  readonly name: string;
}

const URN = /^urn:twinwatch:([A-Za-z0-9_-]{1,64}):(agent|server|broker|operator):([A-Za-z0-9_-]{1,64})$/;

export function certificateUrn({ federation, role, name }: CertificateName): string {
  return `urn:twinwatch:${federation}:${role}:${name}`;
}

/** An agent's is its id; others have a dot in theirs, which no id of an agent can have. */
export function commonName({ role, name }: CertificateName): string {
  return role === 'agent' ? name : `${name}.${role}`;
}

/**
 * @param subjectAltName as node writes it: 'DNS:a, IP Address:127.0.0.1, URI:urn:…'.
 * @returns null where it names nobody of a federation, or more than one.
 */
export function certificateNameIn(subjectAltName: string | undefined): CertificateName | null {
  const found = (subjectAltName ?? '').split(', ').flatMap((entry) => {
    const [, federation, role, name] = (entry.startsWith('URI:') ? URN.exec(entry.slice(4)) : null) ?? [];
    return federation === undefined || role === undefined || name === undefined
      ? []
      : [{ federation, role: role as CertificateRole, name }];
  });
  return found.length === 1 ? found[0]! : null;
}
