// Reads an array of diagrams as JSON, and prints for each one null or the error message of Mermaid.
import DOMPurify from 'dompurify';
import mermaid from 'mermaid';
import { json } from 'node:stream/consumers';

// DOMPurify needs a browser page, which the parser does not have. Its output is not displayed, so it needs no cleaning.
DOMPurify.addHook = () => {};
DOMPurify.sanitize = (text) => text;

const messages = [];
for (const text of await json(process.stdin)) {
  messages.push(
    await mermaid.parse(text).then(
      () => null,
      (error) => String(error.message),
    ),
  );
}
process.stdout.write(JSON.stringify(messages));
