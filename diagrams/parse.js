// Reads an array of diagrams, as JSON, and answers with what Mermaid says of each: null, or its message.
import DOMPurify from 'dompurify';
import mermaid from 'mermaid';
import { json } from 'node:stream/consumers';

// It cleans words for a page and needs one to begin; a parser has none, and what it reads is not shown.
DOMPurify.addHook = () => {};
DOMPurify.sanitize = (text) => text;

const said = [];
for (const text of await json(process.stdin)) {
  said.push(
    await mermaid.parse(text).then(
      () => null,
      (error) => String(error.message),
    ),
  );
}
process.stdout.write(JSON.stringify(said));
