/**
 * Takes the pictures of the console in docs/images: starts a server with the demo's data and opens each page in Chromium (the program
 * that CHROMIUM names, or `chromium` in the PATH). Usage: npm run pictures [-- FOLDER]. Build the console first.
 */
import { join } from 'node:path';
import { takePictures } from './pictures/take.ts';

const [folder = join(import.meta.dirname, '../docs/images')] = process.argv.slice(2);
await takePictures(folder);
