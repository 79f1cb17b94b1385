/** The value at 'a.b[0].c' of something that was JSON; undefined where there is none. */
export function valueAt(root: unknown, path: string): unknown {
  const parts = path.match(/[^.[\]]+/g) ?? [];
  return parts.reduce<unknown>((node, part) => {
    if (typeof node !== 'object' || node === null) return undefined;
    return Object.hasOwn(node, part) ? (node as Record<string, unknown>)[part] : undefined;
  }, root);
}
