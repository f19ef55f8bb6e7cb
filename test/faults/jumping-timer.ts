// Loaded before a server by `node --import`: at SIGUSR2 its monotonic clock is JUMP_MS further, and no timer has gone off
// yet. So it is in a process that was stopped, where the answers that came meanwhile are read first.

const jumpMs = Number(process.env['JUMP_MS']);
if (!Number.isFinite(jumpMs)) throw new Error('JUMP_MS is not set.');

const now = performance.now.bind(performance);
let ahead = 0;
performance.now = () => now() + ahead;
process.on('SIGUSR2', () => {
  ahead += jumpMs;
  process.stderr.write('jumped\n');
});
