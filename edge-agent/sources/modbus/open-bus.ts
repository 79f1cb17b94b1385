import type { BusConfig } from '@twinwatch/core/config/agent';
import { TwinwatchError } from '@twinwatch/core/errors';
import type { Clock, Logger, Timers } from '@twinwatch/core/runtime';
import { ModbusBus } from './bus.js';
import { type OpenStream, type SerialSettings, serialStream, tcpStream } from './byte-stream.js';
import { asciiFraming, type Framing, rtuFraming, tcpFraming } from './frames.js';

export interface ModbusRuntime {
  readonly clock: Clock;
  readonly timers: Timers;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
}

const FRAMINGS: Readonly<Record<string, Framing>> = {
  'tcp:': tcpFraming,
  'rtu:': rtuFraming,
  'rtu+tcp:': rtuFraming,
  'ascii:': asciiFraming,
  'ascii+tcp:': asciiFraming,
};
/** Three and a half characters of 11 bits end a frame (Serial Line Specification 1.02 §2.5.1.1), and not less than a timer can keep. */
const SILENCE_BITS = 38.5;
const SHORTEST_SILENCE_MS = 2;
/** Of a serial line behind a gateway, whose speed is not known. */
const GATEWAY_SILENCE_MS = 5;

/** @throws TwinwatchError CONFIG_INVALID where a serial parameter is not one. */
export function openBus(config: Pick<BusConfig, 'url' | 'timeoutMs' | 'delayMs'>, runtime: ModbusRuntime): ModbusBus {
  const url = new URL(config.url);
  const { timeoutMs, delayMs } = config;
  const framing = FRAMINGS[url.protocol] ?? tcpFraming;
  const isPort = url.protocol === 'rtu:' || url.protocol === 'ascii:';
  const settings = isPort ? serialSettings(url) : null;
  const open: OpenStream =
    settings === null ? tcpStream(url.hostname, Number(url.port), timeoutMs) : serialStream(settings);
  const silenceMs =
    settings !== null
      ? Math.max(SHORTEST_SILENCE_MS, Math.ceil((SILENCE_BITS * 1_000) / settings.baudRate))
      : framing.numbersRequests
        ? 0
        : GATEWAY_SILENCE_MS;
  return new ModbusBus({
    ...{ clock: runtime.clock, timers: runtime.timers, random: runtime.random, log: runtime.log },
    ...{ name: config.url, open, framing, timeoutMs, silenceMs: Math.max(delayMs, silenceMs) },
  });
}

function serialSettings(url: URL): SerialSettings {
  const wrong = (what: string) =>
    new TwinwatchError('CONFIG_INVALID', `${url.href}: ${what}`, { context: { url: url.href } });
  const known = ['baudRate', 'parity', 'dataBits', 'stopBits'];
  for (const key of url.searchParams.keys())
    if (!known.includes(key)) throw wrong(`unknown parameter '${key}'; use ${known.join(', ')}`);
  const choose = <T extends string>(key: string, choices: readonly [T, ...T[]]): T => {
    const given = url.searchParams.get(key) ?? choices[0];
    const found = choices.find((choice) => choice === given);
    if (found === undefined) throw wrong(`${key} must be one of ${choices.join(', ')}`);
    return found;
  };
  const baudRate = Number(url.searchParams.get('baudRate') ?? 9_600);
  if (!Number.isInteger(baudRate) || baudRate < 50) throw wrong('baudRate must be a number such as 9600');
  return {
    path: url.pathname,
    baudRate,
    parity: choose('parity', ['none', 'even', 'odd']),
    dataBits: choose('dataBits', ['8', '7']) === '8' ? 8 : 7,
    stopBits: choose('stopBits', ['1', '2']) === '1' ? 1 : 2,
  };
}
