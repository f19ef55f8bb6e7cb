import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ClientContext } from './command-context.ts';
import type { JobDeleteFlags, JobListFlags, JobRunFlags } from './commands/job.ts';
import type { JobEditFlags, JobWriteFlags } from './commands/job-write.ts';
import { addClientOptions, addGroup, addListOptions, type ClientFlags } from './endpoint-options.ts';
import { createClearOption, createJobOptions } from './job-flags.ts';
import { parseCount } from './option-values.ts';

/** Adds the commands of jobs. */
export function addJobCommands(program: Command, context: ClientContext): void {
  const job = addGroup(program, 'job', 'Manage and run export jobs');
  const load = () => import('./commands/job.ts');
  const loadWrite = () => import('./commands/job-write.ts');
  addListOptions(job.command('list'))
    .description('List jobs, newest first')
    .option('--search <text>', 'only jobs whose names contain this text, ignoring case')
    .addOption(new Option('--enabled <true|false>', 'only jobs that are enabled, or disabled').argParser(parseBoolean))
    .action(async (flags: JobListFlags) => (await load()).listJobsCommand(context, flags));
  addClientOptions(job.command('show'))
    .description(
      'Show a job: its settings, next runs and last run. `job create` and `job edit` read the output of --json',
    )
    .argument('<job>', 'name or id of the job')
    .action(async (name: string, flags: ClientFlags) => (await load()).showJobCommand(context, name, flags));
  addSettings(job.command('create'))
    .description(
      'Create an export job from flags, a file or both; a flag replaces the field of the file. Warnings are written to standard error',
    )
    .action(async (flags: JobWriteFlags) => (await loadWrite()).createJobCommand(context, flags));
  addSettings(job.command('edit'))
    .description('Change the settings in flags, a file or both, and show what changed. Active runs keep their settings')
    .argument('<job>', 'name or id of the job')
    .addOption(createClearOption())
    .option(
      '--if-version <version>',
      'fail, and show both edits, if the job has another version (default: that of the file)',
      parseCount,
    )
    .action(async (name: string, flags: JobEditFlags) => (await loadWrite()).editJobCommand(context, name, flags));
  addSettings(job.command('check'))
    .description(
      'Show the next windows, objects and first rows of a job, without storing it. The exit code is 1 if the job is not valid',
    )
    .argument('[job]', 'name or id of a job that flags and file change; a new job without it')
    .action(async (name: string | undefined, flags: JobWriteFlags) =>
      (await loadWrite()).checkJobCommand(context, name, flags),
    );
  addClientOptions(job.command('run'))
    .description('Start a run of a job, also of a disabled one')
    .argument('<job>', 'name or id of the job')
    .option(
      '--for <date>',
      'date that the window contains, such as 2026-01-25 in the time zone of the job, or time of a slot (default: now)',
    )
    .option('--watch', 'follow the run until it ends; the exit code is 1 unless it succeeded')
    .action(async (name: string, flags: JobRunFlags) => (await load()).runJobCommand(context, name, flags));
  addClientOptions(job.command('delete'))
    .description('Delete a job and cancel its active runs. Asks before, or requires --force')
    .argument('<job>', 'name or id of the job')
    .option('--force', 'delete without asking')
    .action(async (name: string, flags: JobDeleteFlags) => (await load()).deleteJobCommand(context, name, flags));
}

function addSettings(command: Command): Command {
  addClientOptions(command).option(
    '-f, --file <file>',
    'JSON object with fields of CreateJobInput in GraphQL, or the output of `job show --json`; - for standard input',
  );
  for (const option of createJobOptions()) command.addOption(option);
  return command;
}

function parseBoolean(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new InvalidArgumentError('Allowed choices are true, false.');
}
