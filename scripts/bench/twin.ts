import { availableParallelism, cpus } from 'node:os';
import { Plant } from '@twinwatch/twin-server/twin/plant';
import { type LoadedPlant, loadPlant } from '@twinwatch/twin-server/twin/plant-config';
import { Project, Workspace } from 'epanet-js';
import { readTextFile } from '../processes/read-config.js';
import { fromRepository } from '../processes/repository.js';

export interface BenchTwinOptions {
  readonly plant: string;
  readonly network?: string;
  readonly hours: number;
  readonly repetitions: number;
}

/** Codes of EPANET's toolkit, whose names the package's types do not reach. */
const [TIME_DURATION, TIME_HYDRAULIC_STEP, TIME_PATTERN_STEP, TIME_REPORT_STEP] = [0, 1, 3, 5];
const NO_SAVE = 0;
const HOUR_MS = 3_600_000;
/** The twin must keep this share of the bare engine's speed. */
const REQUIRED = 0.8;

/**
 * The twin, with its PLCs, demands, sensors and views, against the engine alone at the same hydraulic step, in turn, on one core. Resolves with the exit
 * code: 1 where the twin is slower than it must be.
 */
export async function benchTwin({ plant: file, network, hours, repetitions }: BenchTwinOptions): Promise<number> {
  const plant = await loadPlant(fromRepository(file), readTextFile, network);
  // Once unmeasured, so that both are compiled.
  await twinRun(plant, hours / 10, 0);
  await bareRun(plant, hours / 10);
  const ratios: number[] = [];
  const speeds: { twin: number; bare: number }[] = [];
  for (let i = 0; i < repetitions; i++) {
    const bare = await bareRun(plant, hours);
    const twin = await twinRun(plant, hours, i);
    ratios.push(twin / bare);
    speeds.push({ twin, bare });
    console.log(
      `run ${i + 1}: twin ${Math.round(twin)}, bare epanet-js ${Math.round(bare)} simulated hours per second of one core, ratio ${(twin / bare).toFixed(2)}`,
    );
  }
  const ratio = median(ratios);
  const step = plant.config.hydraulicStep / 60_000;
  console.log(
    `${plant.config.name}, step ${step} min, ${hours} h a run, ${cpus()[0]?.model.trim() ?? 'processor'} (${availableParallelism()} cores), Node ${process.version}`,
  );
  console.log(
    `median: twin ${Math.round(median(speeds.map(({ twin }) => twin)))}, bare ${Math.round(median(speeds.map(({ bare }) => bare)))} simulated hours per second of one core; ratio ${ratio.toFixed(2)}, required ${REQUIRED}`,
  );
  return ratio >= REQUIRED ? 0 : 1;
}

/** Hours for each second that the processor worked since: what else the machine does makes no difference. */
function perSecond(hours: number, before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (hours * 1e6) / (user + system);
}

/** Simulated hours per second. */
async function twinRun({ config, network }: LoadedPlant, hours: number, seed: number): Promise<number> {
  const instance = await Plant.open({ config, network, variation: { seed } });
  const rows = Math.round((hours * HOUR_MS) / config.interval);
  const before = process.cpuUsage();
  for (let i = 0; i < rows; i++) instance.step();
  const speed = perSecond(hours, before);
  instance.close();
  return speed;
}

/**
 * The same network with the file's own controls, stepped by EPANET alone through epanet-js; nothing is read and nothing is switched from outside.
 * Its warnings, which it writes to the console one by one, are kept off it: they would cost more than the hydraulics.
 */
async function bareRun({ config, network }: LoadedPlant, hours: number): Promise<number> {
  const workspace = new Workspace();
  await workspace.loadModule();
  const project = new Project(workspace);
  workspace.writeFile('network.inp', network);
  project.open('network.inp', 'report.rpt', 'out.bin');
  const stepSeconds = config.hydraulicStep / 1_000;
  project.setReport('MESSAGES NO');
  project.setTimeParameter(TIME_DURATION, hours * 3_600);
  project.setTimeParameter(TIME_PATTERN_STEP, Math.max(stepSeconds, 3_600));
  project.setTimeParameter(TIME_REPORT_STEP, stepSeconds);
  project.setTimeParameter(TIME_HYDRAULIC_STEP, stepSeconds);
  project.openH();
  project.initH(NO_SAVE);
  const warn = console.warn;
  console.warn = () => undefined;
  try {
    const before = process.cpuUsage();
    for (let left = 1; left > 0; left = project.nextH()) project.runH();
    return perSecond(hours, before);
  } finally {
    console.warn = warn;
    project.closeH();
    project.close();
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
