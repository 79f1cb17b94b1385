import { isIP } from 'node:net';
import { CHANGE_HEADER } from '@twinwatch/core/wire/http';

/** Headers of a request, as Node gives them. */
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Why a request that would change something is refused, null where it is not. Pure. This keeps pages of other sites out that a person has open
 * in the same browser; it does not tell people apart: whoever reaches the port may decide.
 *
 * Content type and header force a browser to ask before it sends them for another site, and it is never told yes. A page whose own name was
 * pointed at this machine (DNS rebinding) needs not ask; its requests carry that name as Host. So Host must be an address, localhost, or the
 * name that the server was told to listen on.
 */
export function crossSiteFault(headers: Headers, configuredHost: string): string | null {
  const { host, origin } = headers;
  const contentType = String(headers['content-type'] ?? '').split(';')[0]!;
  if (contentType.trim().toLowerCase() !== 'application/json') return "its content type must be 'application/json'";
  if (headers[CHANGE_HEADER.name] !== CHANGE_HEADER.value)
    return `it must carry the header '${CHANGE_HEADER.name}: ${CHANGE_HEADER.value}'`;
  if (typeof host !== 'string' || !isOwnHost(host, configuredHost))
    return `it is for host '${host ?? ''}', which is not this server; use its address, or set http.host to that name`;
  if (origin !== undefined && (typeof origin !== 'string' || hostOf(origin) !== host.toLowerCase()))
    return `it comes from a page of '${String(origin)}', and only the server's own page may send it`;
  return null;
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
