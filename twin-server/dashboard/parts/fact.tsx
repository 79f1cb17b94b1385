/** One name and value of a <dl>. */
export function Fact({
  name,
  value,
  warn,
  title,
}: {
  readonly name: string;
  readonly value: string;
  readonly warn?: boolean;
  /** What it means, where the name alone does not say. */
  readonly title?: string;
}) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd className={warn ? 'warn' : ''}>{value}</dd>
    </div>
  );
}
