import { isIP } from 'node:net';
import { CHANGE_HEADER } from '@twinwatch/core/wire/http';

/** Headers of a request, as Node gives them. */
type Headers = Readonly<Record<string, string | string[] | undefined>>;

export interface OwnAddress {
  /** `http.host`. */
  readonly configuredHost: string;
  readonly isTls: boolean;
}

/**
 * Why a request that would change something is refused, null where it is not. Pure. This keeps pages of other sites out that a person has open
 * in the same browser; it does not tell people apart: whoever reaches the port may decide.
 *
 * Content type and header force a browser to ask before it sends them for another site, and it is never told yes. A page whose own name was
 * pointed at this machine (DNS rebinding) needs not ask; its requests carry that name as Host. So Host must be an address, localhost, or the
 * name that the server was told to listen on. Over TLS any name will do: the certificate is not one for a foreign name.
 */
export function crossSiteFault(headers: Headers, own: OwnAddress): string | null {
  const { host, origin } = headers;
  const contentType = String(headers['content-type'] ?? '').split(';')[0]!;
  if (contentType.trim().toLowerCase() !== 'application/json') return "its content type must be 'application/json'";
  if (headers[CHANGE_HEADER.name] !== CHANGE_HEADER.value)
    return `it must carry the header '${CHANGE_HEADER.name}: ${CHANGE_HEADER.value}'`;
  const foreign = foreignHostFault(headers, own);
  if (foreign !== null) return foreign;
  if (origin !== undefined && (typeof origin !== 'string' || hostOf(origin) !== String(host).toLowerCase()))
    return `it comes from a page of '${String(origin)}', and only the server's own page may send it`;
  return null;
}

/** Why an answer would get to a page whose own name was pointed at this machine (DNS rebinding), null where it would not. Pure. */
export function foreignHostFault({ host }: Headers, { configuredHost, isTls }: OwnAddress): string | null {
  if (typeof host === 'string' && (isTls || isOwnHost(host, configuredHost))) return null;
  return `it is for host '${host ?? ''}', which is not this server; use its address, or set http.host to that name`;
}

function isOwnHost(host: string, configuredHost: string): boolean {
  const name = hostnameOf(`http://${host}`);
  if (name === null) return false;
  return name === 'localhost' || isIP(name) !== 0 || name === configuredHost.toLowerCase();
}

function hostnameOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : null;
}

/** Host and port as a Host header names them. */
function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}
