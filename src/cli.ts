import './preflight.cjs';

// Loaded after the check: a Node that is too old may be unable to link it.
const { runCli } = await import('./cli/run-cli.ts');
void runCli();
