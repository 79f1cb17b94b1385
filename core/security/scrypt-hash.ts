/** Salt and hash in base64 without padding, as in PHC strings; ln is the binary logarithm of scrypt's N. */
export const SCRYPT_HASH =
  /^\$scrypt\$ln=(1[0-9]|20),r=([1-9]|[12]\d|3[0-2]),p=([1-9]|1[0-6])\$([A-Za-z0-9+/]{22,64})\$([A-Za-z0-9+/]{43,86})$/;
