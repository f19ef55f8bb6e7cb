#!/usr/bin/env node
// The command `sluice`. If this Node is older than package.json requires, it runs the one that npm installed. A Node that is too
// old has to understand this file: plain CommonJS, and no packages.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const needed = parseInt(/\d+/.exec(require('../package.json').engines.node)[0], 10);
const pinned = path.join(__dirname, '..', 'node_modules', '.bin', 'node');

function runPinned() {
  const child = spawn(pinned, [path.join(__dirname, 'cli.ts')].concat(process.argv.slice(2)), { stdio: 'inherit' });
  ['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(function forward(signal) {
    process.on(signal, function send() {
      child.kill(signal);
    });
  });
  child.on('error', function report(error) {
    process.stderr.write('Cannot run ' + pinned + ': ' + error.message + '\n');
    process.exit(1);
  });
  child.on('exit', function end(code, signal) {
    process.exit(signal ? 128 + os.constants.signals[signal] : code);
  });
}

if (parseInt(process.versions.node, 10) < needed && fs.existsSync(pinned)) runPinned();
else {
  require('./preflight.cjs');
  void import('./cli.ts');
}
