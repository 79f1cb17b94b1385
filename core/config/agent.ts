import { z } from 'zod';
import { brokerConnectionSchema, brokerContradictions, otherBrokerFields } from './broker-connection.js';
import { type Contradiction, crossCheck, type Sound } from './cross-check.js';
import { duration, durationBetween } from './duration.js';
import { identifier } from './identifier.js';
import { recordedFileFields } from './recorded-file.js';
import { sourceSchema } from './sources.js';
import { givenParameters } from './template-parameters.js';

/** An edge agent's configuration file. Paths are relative to the file. */

const BUS_URL =
  /^(tcp|rtu\+tcp|ascii\+tcp):\/\/[^/\s:]+:\d{1,5}$|^(rtu|ascii):\/\/\/?[^\s?]+(\?[A-Za-z]+=[A-Za-z0-9.]+(&[A-Za-z]+=[A-Za-z0-9.]+)*)?$/;

const device = z.strictObject({
  name: identifier.meta({ description: 'name of the device, unique in this file' }),
  unit: z.int().min(0).max(255).default(1).meta({
    description:
      'unit id (slave address), on a serial line 1 to 247: 0 is broadcast there, which no device answers. TCP devices often take 1, 255 or 0',
  }),
  template: z.string().min(1).meta({ description: 'device template file, relative to this file' }),
  parameters: givenParameters,
});

const bus = z.strictObject({
  url: z
    .string()
    .regex(BUS_URL, {
      error:
        "must be 'tcp://host:502', 'rtu+tcp://host:port', or 'rtu:///dev/serial/by-id/…?baudRate=9600&parity=even' (parity, dataBits, stopBits optional); ascii for rtu where the line speaks Modbus ASCII",
    })
    .meta({
      description:
        'tcp://host:502, rtu+tcp://host:port, or rtu:///dev/ttyUSB0?baudRate=9600&parity=even; ascii:// and ascii+tcp:// for Modbus ASCII',
    }),
  timeoutMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(1_000)
    .meta({ description: 'longest wait for the answer to one request' }),
  retries: z.int().min(0).max(10).default(2).meta({
    description:
      'how often a unit that failed is asked again, each time after a longer pause, before it is left alone and only probed',
  }),
  delayMs: z
    .int()
    .min(0)
    .max(10_000)
    .default(0)
    .meta({ description: 'silence kept between two requests, for slow RS-485 devices' }),
  devices: z.array(device).min(1).meta({ description: 'the devices on this bus' }),
});

/** The only thing that an agent ever writes to a device. */
const alarmOutput = z.strictObject({
  device: identifier.meta({ description: 'one of the devices on the buses' }),
  register: z.enum(['coil', 'holding']).meta({ description: 'table that is written to' }),
  address: z.int().min(0).max(65_535).meta({ description: 'zero-based, as on the wire' }),
  on: z.enum(['anomaly', 'communication', 'any']).default('anomaly').meta({
    description: 'alarms of the detector, alarms that values do not come, or both',
  }),
  raised: z.int().min(0).max(65_535).default(1).meta({ description: 'value while such an alarm is on' }),
  cleared: z.int().min(0).max(65_535).default(0).meta({ description: 'value once none is on any more' }),
  dryRun: z.boolean().default(true).meta({
    description: 'true only logs what would be written; nothing is ever written unless this is false',
  }),
});

/** Bounds of what is kept on disk: whichever is met first, the oldest rows go. */
const retention = z.strictObject({
  maximumRows: z.int().min(1_000).default(500_000).meta({ description: 'rows kept' }),
  maximumMegabytes: z.int().min(8).default(512).meta({ description: 'size of the database file, in megabytes' }),
  maximumAge: durationBetween('1h', '3650d').optional().meta({
    description:
      'acquired rows older than this, against the newest, go; without it age does not matter. Imported rows go by number and size only',
  }),
});

export const agentSchema = z
  .strictObject({
    federation: identifier.meta({
      description: 'name of the federation: everything that learns together; part of every MQTT topic',
    }),
    agent: identifier.meta({ description: 'name of this agent, unique in the federation' }),
    broker: brokerConnectionSchema.meta({ description: 'the MQTT broker, and how to log in' }),
    security: z
      .strictObject({
        directory: z.string().min(1).meta({ description: 'this agent’s certificate, keys, and whom it believes' }),
        renewal: z
          .strictObject({
            url: z
              .string()
              .regex(/^https:\/\/[^/\s@]+$/, { error: "must be a URL such as 'https://plant-server:8884'" })
              .meta({ description: 'where `twinwatch enrolment` runs' }),
            every: durationBetween('1s', '7d').prefault('1h').meta({ description: 'time between two looks' }),
          })
          .optional()
          .meta({
            description: 'a new certificate before this one ends, and new authorities, without anybody’s doing',
          }),
      })
      .optional()
      .meta({ description: 'what `twinwatch enrol` or `twinwatch join` made' }),
    dataDir: z.string().min(1).meta({ description: 'where rows, models and the outbox are kept' }),
    interval: durationBetween('100ms', '1d').meta({ description: 'source time between two rows' }),
    poll: z
      .strictObject({
        every: duration.prefault('1s').meta({
          description: 'wall-clock time between two polls of a device; 0ms polls as fast as the device answers',
        }),
        lateAfter: durationBetween('100ms', '1h')
          .prefault('5s')
          .meta({ description: "a row that has waited this long for a device's answer goes on without it" }),
        align: z.enum(['sequence', 'time']).default('sequence').meta({
          description:
            'how devices that serve a clock are brought together: they share one scan counter, or only their times agree',
        }),
      })
      .prefault({})
      .meta({ description: 'when devices are read' }),
    buses: z.array(bus).default([]).meta({ description: 'none for an agent that only learns from imported history' }),
    alarmOutputs: z.array(alarmOutput).default([]).meta({
      description: 'coils or registers that follow alarms; without any, the agent only reads',
    }),
    sources: z.array(sourceSchema).default([]).meta({
      description: 'sources that are not Modbus: lines of a serial port, MQTT, Sparkplug B, a CSV file that grows',
    }),
    sparkplug: z
      .strictObject({
        ...otherBrokerFields,
        group: z
          .string()
          .regex(/^[^#+/]+$/, { error: 'must be without +, # and /' })
          .meta({ description: 'group id' }),
        node: z
          .string()
          .regex(/^[^#+/]+$/, { error: 'must be without +, # and /' })
          .optional()
          .meta({ description: "edge node id; the agent's name without it" }),
        primaryHost: z
          .string()
          .regex(/^[^#+/]+$/, { error: 'must be without +, # and /' })
          .optional()
          .meta({ description: 'host application without which nothing is published' }),
        history: z.int().min(0).max(1_000_000).default(100_000).meta({
          description:
            'values that have changed while the broker or the host was away, kept in memory and sent later as historical; then the oldest go',
        }),
        dataTypes: z.enum(['always', 'births']).default('always').meta({
          description:
            'births tells types in births only, as the specification advises; always in data, too, for hosts that read none without',
        }),
      })
      .check(crossCheck(brokerContradictions))
      .optional()
      .meta({
        description: 'tags and alarms as Sparkplug B, for other systems; nothing is published where this is absent',
      }),
    training: z
      .strictObject({
        enabled: z.boolean().default(true).meta({ description: 'false for an agent that only detects' }),
        quarantine: duration.prefault('12h').meta({
          description: 'source time for which a live row is not trained on; imported rows are not quarantined',
        }),
        engine: z
          .enum(['auto', 'builtin', 'tensorflow'])
          .default('auto')
          .meta({ description: 'builtin, tensorflow, or the faster of the two for the size of the network' }),
        maximumRows: z
          .int()
          .min(100)
          .default(50_000)
          .meta({ description: 'most rows one local fit takes, the newest first: bounds memory and time' }),
        labelWeight: z.number().min(1).max(1_000).default(4).meta({
          description:
            'what a row counts for in a fit where a person decided on it (its alarm was confirmed or dismissed, or its range called an attack), against 1 for others',
        }),
        labelTag: z
          .string()
          .optional()
          .meta({ description: 'a tag that labels rows: any value but 0 means not normal' }),
      })
      .prefault({})
      .meta({ description: 'what may be learned from, and with what' }),
    import: z
      .strictObject({
        ...recordedFileFields,
        labelColumn: z.string().optional().meta({
          description:
            'column of labels: 0 normal, 1 attack, anything else unknown; where absent ATT_FLAG, or one that is called and filled like labels',
        }),
      })
      .prefault({})
      .meta({ description: 'how history files are read by `twinwatch agent import`' }),
    telemetry: z
      .strictObject({
        everyMs: z.int().min(100).default(1_000).meta({ description: 'milliseconds between two messages' }),
      })
      .optional()
      .meta({ description: "live values for the server's page. Nothing leaves the site where this is absent" }),
    retention: retention
      .prefault({})
      .meta({ description: 'bounds of what is kept on disk; whichever is met first, the oldest rows go' }),
    logLevel: z
      .enum(['debug', 'info', 'warn', 'error'])
      .default('info')
      .meta({ description: 'least level that is logged' }),
    statusEvery: durationBetween('1s', '10m')
      .prefault('5s')
      .meta({ description: 'time between two reports of health' }),
  })
  .check(crossCheck(devicesTwice))
  .check(crossCheck(outputsUnknown));

export type AgentConfig = z.infer<typeof agentSchema>;
export type BusConfig = AgentConfig['buses'][number];

const BROADCAST =
  'is broadcast on a serial line: every device hears it and none answers; write the address that is set at the device, 1 to 247';

/** Behind a serial device server, too, the frames are those of a serial line. */
export function isBroadcast(url: string, unit: number): boolean {
  return unit === 0 && !url.startsWith('tcp://');
}

function* devicesTwice({
  buses = [],
}: Sound<{ buses: { url: string; devices: { name: string; unit: number }[] }[] }>): Generator<Contradiction> {
  const names = new Map<string, string>();
  const urls = new Set<string>();
  for (const [b, bus] of buses.entries()) {
    const { url, devices = [] } = bus ?? {};
    if (url !== undefined && urls.has(url))
      yield { path: ['buses', b, 'url'], message: `${url} is there twice; list its devices under one bus` };
    if (url !== undefined) urls.add(url);
    const units = new Map<number, string>();
    for (const [d, device] of devices.entries()) {
      const { name, unit } = device ?? {};
      const path = ['buses', b, 'devices', d];
      if (name !== undefined) {
        const elsewhere = names.get(name);
        if (elsewhere !== undefined)
          yield { path: [...path, 'name'], message: `device '${name}' is there twice, also on ${elsewhere}` };
        names.set(name, url ?? `bus ${b + 1}`);
      }
      if (unit === undefined) continue;
      const other = units.get(unit);
      if (other !== undefined)
        yield { path: [...path, 'unit'], message: `unit ${unit} is already '${other}' on this bus` };
      units.set(unit, name ?? `device ${d + 1}`);
      if (url !== undefined && isBroadcast(url, unit)) yield { path: [...path, 'unit'], message: BROADCAST };
    }
  }
}

function* outputsUnknown({
  buses = [],
  alarmOutputs = [],
}: Sound<{ buses: { devices: { name: string }[] }[]; alarmOutputs: { device: string }[] }>): Generator<Contradiction> {
  const names = buses.flatMap((bus) => (bus?.devices ?? []).map((device) => device?.name));
  for (const [i, output] of alarmOutputs.entries())
    if (output?.device !== undefined && !names.includes(output.device))
      yield { path: ['alarmOutputs', i, 'device'], message: `'${output.device}' is not a device on any of the buses` };
}
