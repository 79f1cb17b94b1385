/** One name and value of a <dl>. */
export function Fact({
  name,
  value,
  warn,
}: {
  readonly name: string;
  readonly value: string;
  readonly warn?: boolean;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className={warn ? 'warn' : ''}>{value}</dd>
    </div>
  );
}
