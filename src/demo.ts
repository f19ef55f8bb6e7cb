import './preflight.cjs';

// Loaded after the check: a Node that is too old may be unable to link it.
const { startDemo } = await import('./demo/start-demo.ts');
void startDemo();
