import type { RoundView } from '@twinwatch/core/wire/http';

/** The newest committed round in the text format of Prometheus. @param rounds ascending. */
export function roundMetrics(rounds: readonly RoundView[]): string {
  const round = rounds.findLast(({ phase }) => phase === 'committed');
  const traffic = Object.entries(round?.traffic ?? {});
  const lines = [
    '# HELP twinwatch_round Rounds committed.',
    '# TYPE twinwatch_round gauge',
    `twinwatch_round ${round?.round ?? 0}`,
    '# HELP twinwatch_round_payload_bytes Bytes of MQTT payload of an agent in the newest committed round, as sent.',
    '# TYPE twinwatch_round_payload_bytes gauge',
    // Ids of agents hold letters, digits, - and _ alone: nothing has to be escaped.
    ...traffic.flatMap(([agent, { up, down }]) => [
      `twinwatch_round_payload_bytes{agent="${agent}",direction="up"} ${up}`,
      `twinwatch_round_payload_bytes{agent="${agent}",direction="down"} ${down}`,
    ]),
  ];
  return `${lines.join('\n')}\n`;
}
