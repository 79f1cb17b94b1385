import { join, resolve } from 'node:path';
import { TwinwatchError } from '@twinwatch/core/errors';
import { findAttack } from '@twinwatch/twin-server/twin/attacks';
import { loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import type { PlantMessage } from '../plant/plant-messages.js';
import { systemClock, systemTimers } from '../processes/node-runtime.js';
import { choosePorts } from '../processes/ports.js';
import { readTextFile } from '../processes/read-config.js';
import { COMMAND } from '../processes/repository.js';
import { followServer } from '../processes/server-events.js';
import { type ChildEvent, logTail, Supervisor } from '../processes/supervisor.js';
import { untilStopped } from '../processes/until-stopped.js';
import { claimDataDir } from './data-dir.js';
import { commissioningRows, type DemoPlan, referencePlant, writeDemoConfigs } from './demo-configs.js';
import { ProgressLine } from './progress-line.js';
import { type StoryEvent, type StoryOptions, type StoryState, startStory, tell } from './story.js';
import * as wording from './wording.js';

export interface DemoOptions {
  readonly attack?: string;
  readonly sites: number;
  readonly speed: number;
  readonly rounds: number;
  readonly method: DemoPlan['method'];
  readonly ports?: number;
  readonly dataDir: string;
  readonly keep?: boolean;
  readonly exitAfterDemo?: boolean;
}

const DEFAULT_ATTACK = 'overflow-t1-hidden';
/** Where free ports are looked for without --ports. */
const PORTS_FROM = 18_830;
const TICK_MS = 250;
/** Exit code of what a person stopped with Ctrl-C before its end. */
const INTERRUPTED = 130;

/**
 * Runs the demonstration and stops everything it started. Resolves with the exit code.
 * @throws TwinwatchError CLI_PORT_TAKEN, PLANT_ATTACK_INVALID, CONFIG_*, PROCESS_CRASHED
 */
export async function runDemo(options: DemoOptions): Promise<number> {
  const plan = await makePlan(options);
  const release = claimDataDir(plan.dataDir);
  const files = writeDemoConfigs(plan);
  const story: StoryOptions = {
    sites: plan.sites,
    attackedSite: plan.sites[Math.floor(plan.sites.length / 2)]!,
    attack: await attackOf(options),
    commissioningRows: commissioningRows(plan),
    intervalMs: plan.intervalMs,
  };
  const line = new ProgressLine(process.stdout, () => systemClock.monotonic());
  const url = `http://127.0.0.1:${plan.ports.page}`;
  const stop = new AbortController();
  const ending = new Ending();
  let state = startStory(systemClock.monotonic());

  const hear = (event: StoryEvent) => {
    const told = tell(story, state, event, systemClock.monotonic());
    state = told.state;
    for (const effect of told.effects) {
      if (effect.kind === 'say') line.say(effect.text);
      else if (effect.kind === 'finish') ending.finish();
      else supervisor.send('plant', effect);
    }
    if (state.phase !== 'done') line.live(wording.liveLine(state, story));
  };
  const supervisor = new Supervisor({
    command: COMMAND,
    logDir: join(plan.dataDir, 'logs'),
    timers: systemTimers,
    monotonic: () => systemClock.monotonic(),
    onEvent: (event) => hearChild(event, hear, ending),
  });

  process.on('SIGHUP', () => process.kill(process.pid, 'SIGTERM'));
  const stopped = untilStopped();
  // Broker, twin-server and plant beside the agents.
  const processCount = 3 + plan.sites.length;
  try {
    line.say(
      `starting broker, twin-server, plants and ${plan.sites.length} ${plan.sites.length === 1 ? 'agent' : 'agents'}; everything is kept in ${plan.dataDir}`,
    );
    supervisor.start({ name: 'broker', args: ['broker', '--config', files.broker] });
    supervisor.start({ name: 'server', args: ['server', '--config', files.server] });
    supervisor.start({ name: 'plant', args: ['plant', '--config', files.plant] });
    for (const site of plan.sites)
      supervisor.start({ name: `agent ${site}`, args: ['agent', '--config', files.agents[site]!] });
    line.say(`page: ${url}`);
    const following = followServer(url, systemTimers, (event) => hear({ kind: 'server', event }), stop.signal);
    const ticking = setInterval(() => hear({ kind: 'tick' }), TICK_MS);
    const how = await Promise.race([ending.finished, ending.broken, stopped]);
    clearInterval(ticking);
    if (how === 'finished') {
      line.end();
      line.say(summary(state, story));
      for (const [name, value] of wording.figures(state, story, systemClock.monotonic()))
        line.say(`  ${name}: ${value}`);
      if (options.exitAfterDemo !== true && (options.keep === true || process.stdout.isTTY)) {
        line.say(`everything goes on running: open ${url}; Ctrl-C stops it`);
        line.say(`in another terminal: npm run twinwatch -- alarms --all --server ${url}`);
        await Promise.race([stopped, ending.broken]);
      }
    }
    stop.abort();
    await following;
    line.end();
    line.say(`stopping ${processCount} processes`);
    await supervisor.stopAll();
    line.say(wording.stopped({ processCount, dataDir: plan.dataDir }, state));
    if (how !== 'finished') return INTERRUPTED;
    return state.failures.length > 0 && options.exitAfterDemo === true ? 1 : 0;
  } finally {
    stop.abort();
    await supervisor.stopAll();
    release();
  }
}

/** How the story ends: told to its end, or broken off because a process cannot be kept running. */
class Ending {
  readonly finished: Promise<'finished'>;
  readonly broken: Promise<never>;
  finish: () => void = () => undefined;
  fail: (error: TwinwatchError) => void = () => undefined;

  constructor() {
    this.finished = new Promise((resolve) => {
      this.finish = () => resolve('finished');
    });
    this.broken = new Promise((_, reject) => {
      this.fail = reject;
    });
    // Somebody waits for it only while the story runs.
    this.broken.catch(() => undefined);
  }
}

async function makePlan(options: DemoOptions): Promise<DemoPlan> {
  const { config } = await loadPlant(referencePlant(), readTextFile);
  const plcs = [...new Set(config.tags.map(({ plc }) => plc))];
  const sites = Array.from({ length: options.sites }, (_, i) => `site-${i + 1}`);
  const plcNames = sites.flatMap((site) => plcs.map((plc) => `${site} ${plc}`));
  const ports = await choosePorts(
    ['broker', 'page', ...plcNames],
    options.ports ?? PORTS_FROM,
    options.ports !== undefined,
  );
  return {
    dataDir: resolve(options.dataDir),
    sites,
    plcs,
    intervalMs: config.interval,
    rowsPerSecond: options.speed,
    rounds: options.rounds,
    method: options.method,
    ports: {
      broker: ports.broker!,
      page: ports.page!,
      plcs: Object.fromEntries(
        sites.map((site) => [site, Object.fromEntries(plcs.map((plc) => [plc, ports[`${site} ${plc}`]!]))]),
      ),
    },
  };
}

/** @throws TwinwatchError PLANT_ATTACK_INVALID naming the attacks there are. */
async function attackOf({ attack = DEFAULT_ATTACK }: DemoOptions): Promise<string | null> {
  if (attack === 'none') return null;
  const { attacks } = await loadPlant(referencePlant(), readTextFile);
  return findAttack(attacks, attack).name;
}

function hearChild(event: ChildEvent, hear: (event: StoryEvent) => void, ending: Ending): void {
  switch (event.kind) {
    case 'crashed':
      hear(event);
      return;
    case 'gave-up':
      ending.fail(
        new TwinwatchError(
          'PROCESS_CRASHED',
          `${event.name} keeps ending (${event.how}); the end of ${event.log} says:\n${logTail(event.log)}`,
          { context: { process: event.name, log: event.log } },
        ),
      );
      return;
    case 'message':
      hearPlant(event.message as PlantMessage, hear, ending);
  }
}

function hearPlant(message: PlantMessage, hear: (event: StoryEvent) => void, ending: Ending): void {
  switch (message.kind) {
    case 'progress':
      hear({ kind: 'plant', sites: message.sites });
      return;
    case 'attack':
      hear(message);
      return;
    case 'refused':
      ending.fail(new TwinwatchError('DEMO_FAILED', `the plant refused the attack: ${message.message}`));
      return;
    case 'listening':
    case 'feed-finished':
  }
}

function summary({ failures }: StoryState, { attack, attackedSite }: StoryOptions): string {
  if (failures.length > 0) return `NOT AS EXPECTED: ${failures.join('; ')}`;
  if (attack === null) return 'AS EXPECTED: nobody was attacked, and no site raised an alarm';
  return `AS EXPECTED: the attack on ${attackedSite} was alarmed there, the alarm cleared, and every other site stayed quiet`;
}
