import './preflight.cjs';

// Loaded after the check: a Node that is too old may be unable to link it.
const { serve } = await import('./process/serve.ts');
void serve();
