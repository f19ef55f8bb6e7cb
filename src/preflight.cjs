// Runs before everything else and says in one line what is missing. A Node that is too old has to understand it: plain
// CommonJS, and no packages.
'use strict';

const fs = require('fs');
const path = require('path');

const NEEDED = 24;
const packages = path.join(__dirname, '..', 'node_modules');

function remedy() {
  if (!fs.existsSync(packages)) return 'Run `npm ci`.';
  if (fs.existsSync(path.join(packages, '.bin', 'node'))) {
    return 'Use node_modules/.bin/node, as `npm start` and `npm run sluice` do.';
  }
  return 'Run `npm rebuild --ignore-scripts=false`: its install scripts put Node ' + NEEDED + ' into node_modules.';
}

function problem() {
  if (parseInt(process.versions.node, 10) < NEEDED) {
    return 'Sluice needs Node ' + NEEDED + ' or later; this is Node ' + process.versions.node + '. ' + remedy();
  }
  return fs.existsSync(packages) ? null : 'The packages of Sluice are not installed. ' + remedy();
}

const words = problem();
if (words !== null) {
  process.stderr.write(words + '\n');
  process.exit(1);
}
