import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  webcrypto,
} from 'node:crypto';
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509Crl,
  X509CrlGenerator,
  X509CrlReason,
} from '@peculiar/x509';
import { TwinwatchError } from '../errors.js';
import { type CertificateName, certificateUrn, commonName } from './certificate-name.js';

/**
 * X.509 v3 certificates (RFC 5280) over ECDSA with P-256 and SHA-256, which every broker and TLS library takes; PKCS #10 requests (RFC 2986), so that
 * a private key never leaves the machine that made it; revocation lists. PEM in and out, no files.
 */

const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** IPv4, or IPv6. */
const ADDRESS = /^\d+(\.\d+){3}$|:/;
/** A gateway without a real-time clock starts in 1970, and has to reach the federation all the same. */
const SINCE_EVER = new Date(0);

/** An authority's certificate and its private key (PKCS#8), both PEM. */
export interface Authority {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** Upper-case hex, as openssl and node write it. */
  readonly serial: string;
  readonly notAfterMs: number;
}

/** A new P-256 private key: PKCS#8 PEM. */
export function newTlsKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

export async function newAuthority(federation: string, notAfterMs: number): Promise<Authority> {
  const keyPem = newTlsKey();
  const publicKey = await webPublicKey(createPublicKey(keyPem));
  const serialNumber = newSerial();
  // Two authorities of a federation must not have the same name: who builds a chain would try the wrong one.
  const name = [{ O: [federation] }, { CN: [`Twinwatch CA ${serialNumber.slice(0, 8)}`] }];
  const certificate = await X509CertificateGenerator.create(
    {
      ...{ serialNumber, subject: name, issuer: name, publicKey, signingAlgorithm: ECDSA },
      ...{ notBefore: SINCE_EVER, notAfter: wholeSeconds(notAfterMs), signingKey: await webPrivateKey(keyPem) },
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificatePem: pem(certificate), keyPem };
}

export interface CertificateRequest {
  readonly authority: Authority;
  readonly name: CertificateName;
  /** SPKI of a P-256 key, DER. */
  readonly publicKeyDer: Uint8Array;
  /** Names and addresses under which it is reached; brokers and servers only. */
  readonly hosts?: readonly string[];
  readonly notAfterMs: number;
}

/** Agents' and operators' certificates serve as clients only: none of them can pass for a broker or a server. */
export async function issueCertificate(request: CertificateRequest): Promise<IssuedCertificate> {
  const { authority, name, publicKeyDer, hosts = [], notAfterMs } = request;
  const issuer = new X509Certificate(authority.certificatePem);
  const publicKey = await webPublicKey(p256(Buffer.from(publicKeyDer)));
  const serialNumber = newSerial();
  const listens = name.role === 'broker' || name.role === 'server';
  const addresses = hosts.map((host): JsonGeneralName => ({ type: ADDRESS.test(host) ? 'ip' : 'dns', value: host }));
  const extensions: Extension[] = [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(
      listens ? [ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth] : [ExtendedKeyUsage.clientAuth],
    ),
    new SubjectAlternativeNameExtension([...addresses, { type: 'url', value: certificateUrn(name) }]),
    await SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
    await AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
  ];
  const certificate = await X509CertificateGenerator.create(
    {
      ...{ serialNumber, extensions, publicKey, issuer: issuer.subjectName, signingAlgorithm: ECDSA },
      subject: [{ O: [name.federation] }, { OU: [name.role] }, { CN: [commonName(name)] }],
      ...{ notBefore: SINCE_EVER, notAfter: wholeSeconds(notAfterMs) },
      signingKey: await webPrivateKey(authority.keyPem),
    },
    webcrypto,
  );
  return { certificatePem: pem(certificate), serial: serialNumber, notAfterMs: certificate.notAfter.getTime() };
}

/** A request for a certificate; what it is to say is decided by whoever signs it. @param keyPem of newTlsKey. */
export async function newRequest(keyPem: string, name: string): Promise<string> {
  const keys = { privateKey: await webPrivateKey(keyPem), publicKey: await webPublicKey(createPublicKey(keyPem)) };
  const request = await Pkcs10CertificateRequestGenerator.create(
    { name: [{ CN: [name] }], keys, signingAlgorithm: ECDSA },
    webcrypto,
  );
  return PemConverter.encode(request.rawData, PemConverter.CertificateRequestTag);
}

/** The public key (SPKI, DER) of a request whose sender has the private one. @throws TwinwatchError SECURITY_REQUEST_INVALID. */
export async function publicKeyOfRequest(requestPem: string): Promise<Buffer> {
  try {
    const request = new Pkcs10CertificateRequest(requestPem);
    const der = p256(Buffer.from(request.publicKey.rawData)).export({ type: 'spki', format: 'der' });
    if (await request.verify(webcrypto)) return der;
  } catch (cause) {
    throw new TwinwatchError('SECURITY_REQUEST_INVALID', 'not a PKCS #10 request for a P-256 key', { cause });
  }
  throw new TwinwatchError('SECURITY_REQUEST_INVALID', 'the request is not signed with the key that it is for');
}

/** @param revoked serials in hex, with the time of each. */
export async function revocationList(
  authority: Authority,
  revoked: readonly { readonly serial: string; readonly revokedAtMs: number }[],
  nowMs: number,
): Promise<string> {
  const { subjectName, notAfter } = new X509Certificate(authority.certificatePem);
  const crl = await X509CrlGenerator.create(
    {
      ...{ issuer: subjectName, thisUpdate: wholeSeconds(nowMs), nextUpdate: notAfter, signingAlgorithm: ECDSA },
      entries: revoked.map(({ serial, revokedAtMs }) => ({
        ...{
          serialNumber: serial,
          revocationDate: wholeSeconds(revokedAtMs),
          reason: X509CrlReason.privilegeWithdrawn,
        },
      })),
      signingKey: await webPrivateKey(authority.keyPem),
    },
    webcrypto,
  );
  return PemConverter.encode(crl.rawData, 'X509 CRL');
}

/**
 * Serials in upper-case hex of lists that one of the authorities has signed.
 * @param crlPem any number of lists. @param caPem any number of authorities.
 * @throws TwinwatchError SECURITY_FILE_INVALID where a list is not theirs.
 */
export async function revokedSerials(crlPem: string, caPem: string): Promise<ReadonlySet<string>> {
  const authorities = PemConverter.decode(caPem).map((der) => new X509Certificate(der));
  const serials = new Set<string>();
  for (const der of PemConverter.decode(crlPem)) {
    const crl = new X509Crl(der);
    const issuer = authorities.find(({ subject }) => subject === crl.issuer);
    if (issuer === undefined || !(await crl.verify({ publicKey: issuer.publicKey }, webcrypto)))
      throw new TwinwatchError(
        'SECURITY_FILE_INVALID',
        'a revocation list is not signed by an authority of this federation',
      );
    for (const { serialNumber } of crl.entries) serials.add(serialNumber.toUpperCase());
  }
  return serials;
}

const pem = (certificate: X509Certificate) =>
  `${PemConverter.encode(certificate.rawData, PemConverter.CertificateTag)}\n`;

/** 16 random bytes, above zero as RFC 5280 4.1.2.2 wants it. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex').toUpperCase();
}

const wholeSeconds = (ms: number) => new Date(Math.floor(ms / 1000) * 1000);

function p256(der: Buffer): KeyObject {
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('not a P-256 key');
  return key;
}

function webPrivateKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ECDSA, false, ['sign']);
}

function webPublicKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ type: 'spki', format: 'der' });
  return webcrypto.subtle.importKey('spki', der, ECDSA, true, ['verify']);
}
