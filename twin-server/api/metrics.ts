import type { CertificateView, RoundView } from '@twinwatch/core/wire/http';

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

/** When certificates end, in the same format. */
export function certificateMetrics(certificates: readonly CertificateView[]): string {
  const lines = [
    '# HELP twinwatch_certificate_not_after_seconds When a certificate ends, in seconds since 1970; 0 where the file that says so is damaged.',
    '# TYPE twinwatch_certificate_not_after_seconds gauge',
    ...[...soonest(certificates)].map(
      ([holder, notAfterMs]) =>
        `twinwatch_certificate_not_after_seconds{holder="${holder}"} ${Math.floor(notAfterMs / 1_000)}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** Of several that one holder has, such as two authorities, the one that ends first: a label stands for one number. */
function soonest(certificates: readonly CertificateView[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { holder, isAgent, notAfterMs } of certificates) {
    const name = isAgent ? `agent ${holder}` : holder;
    found.set(name, Math.min(found.get(name) ?? Number.POSITIVE_INFINITY, notAfterMs ?? 0));
  }
  return found;
}
