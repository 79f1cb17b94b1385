import { type Command, Option } from 'commander';
import { whole, withExamples } from './options.js';

/** `twinwatch experiment …`: what was measured for docs/results, each with its command. */

export function addExperiments(program: Command): void {
  const experiment = program
    .command('experiment')
    .description(
      'measurements behind docs/results, without the wall clock: those of a file, or one of the commands below',
    )
    .argument('[files...]', 'methods, seeds and data to compare: see configs/experiments')
    .option(
      '--out <dir>',
      'results, one line a run, and the report; runs that are there are not done again',
      'out/experiments',
    )
    .option('--data <dir>', "BATADAL's files and ctown.inp, in place of the simulated plant")
    .option('--test <csv>', "what the scenario 'official' is judged on; labels in ATT_FLAG")
    .option('--processes <n>', 'runs at the same time; as many as cores without it', whole)
    .option(
      '--quick',
      'so small that it says nothing but that everything runs; without files, all of configs/experiments',
    )
    .option('--advice <json>', 'also write what `twinwatch advise` knows, from files that vary the twin')
    .action(async (files: string[], options) => {
      if (files.length === 0 && options.quick !== true) {
        experiment.help({ error: true });
        return;
      }
      const { runExperiments } = await import('../experiments/runner/experiment.js');
      await runExperiments(files, options);
    });
  withExamples(
    experiment,
    'experiment --quick --out out/experiments-quick',
    'experiment configs/experiments/label-free.yaml --out out/experiments',
  );
  addLeaveFamilyOut(experiment);
  addBaselines(experiment);
  addDismissals(experiment);
  const poisoning = experiment
    .command('poisoning')
    .description('what hostile clients do to each way of combining updates, on a small made-up plant; a minute')
    .action(async () => {
      const { runPoisoning } = await import('../experiments/poisoning.js');
      await runPoisoning();
    });
  withExamples(poisoning, 'experiment poisoning');
}

function addLeaveFamilyOut(experiment: Command): void {
  const leaving = experiment
    .command('leave-family-out')
    .description('detectors that never saw a family of attacks, judged on that family alone')
    .option('--plant <file>', 'plant.yaml', 'configs/reference-plant/plant.yaml')
    .option('--network <inp>', "EPANET network instead of the plant's own")
    .option('--seeds <n>', 'repetitions, everything random drawn anew', whole, 5)
    .option('--episodes <n>', 'fortnights that a twin simulates, to learn from', whole, 20)
    .option('--test-episodes <n>', 'fortnights of attacks of one family, to judge on', whole, 8)
    .option('--agents <k>', 'sites that learn from their normal running', whole, 5)
    .option('--rounds <n>', 'federated rounds', whole, 10)
    .option('--members <n>', 'networks averaged; one, since seven detectors are learned per seed', whole, 1)
    .option('--out <file>', 'results as JSON; seeds that are there with the same options are not run again')
    .action(async (options) => {
      const { runLeaveFamilyOut } = await import('../experiments/leave-family-out.js');
      await runLeaveFamilyOut(options);
    });
  withExamples(leaving, 'experiment leave-family-out --seeds 1 --out out/leave-family-out.json');
}

function addBaselines(experiment: Command): void {
  const baselines = experiment
    .command('baselines')
    .description("the field trial's detector beside others, on the same rows and over several seeds")
    .requiredOption('--history <csv>', 'rows without attacks, split among the agents')
    .requiredOption('--feed <csv>', 'labelled rows to judge on')
    .option('--network <inp>', "EPANET network instead of the plant's own")
    .option('--plant <file>', 'tags, PLCs and rules of the plant', 'configs/ctown/plant.yaml')
    .option('--seeds <n>', 'repetitions, everything random drawn anew', whole, 5)
    .option('--episodes <n>', "fortnights that the twin simulates; the field trial's without it", whole)
    .option('--agents <k>', 'agents that learn, each from a slice of the history', whole, 5)
    .option('--rounds <n>', 'federated rounds', whole, 20)
    .option('--only <names...>', 'detectors that learn, such as Twinwatch centralised; all without it')
    .option('--out <file>', 'results as JSON; seeds that are there with the same options are not run again')
    .action(async (options) => {
      const { runBaselines } = await import('../experiments/field-trial-baselines.js');
      await runBaselines(options);
    });
  withExamples(
    baselines,
    'experiment baselines --history BATADAL_dataset03.csv --feed BATADAL_dataset04.csv --network ctown.inp --seeds 1',
  );
}

function addDismissals(experiment: Command): void {
  const dismissals = experiment
    .command('dismissals')
    .description('what ten dismissals do to the false alarms of sites that come to run otherwise than their twin')
    .option('--plant <file>', 'plant.yaml', 'configs/reference-plant/plant.yaml')
    .addOption(
      new Option('--drift <name>', 'in what the sites change')
        .choices(['demand', 'maintenance'])
        .default('maintenance'),
    )
    .option('--seeds <n>', 'repetitions, everything random drawn anew', whole, 5)
    .option('--agents <n>', 'sites', whole, 5)
    .option('--drifting <n>', 'of them, how many change', whole, 2)
    .option('--days <n>', 'watched before the decisions, and again after', whole, 14)
    .option('--rounds <n>', 'federated rounds before the decisions, and again after', whole, 10)
    .option('--dismissals <n>', 'alarms that are dismissed, the first ones', whole, 10)
    .option('--out <file>', 'results as JSON')
    .action(async ({ drift, ...options }) => {
      const { runDismissals } = await import('../experiments/dismissals.js');
      await runDismissals({ ...options, drift, weights: [1, 4] });
    });
  withExamples(dismissals, 'experiment dismissals --seeds 1 --drift demand');
}
