/**
 * An object store that accepts PutObject and stores nothing, in its own process, so that it costs the machine little. Sends its
 * port, and key and length of each object, to its parent process.
 */
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => {
    process.send?.({ key: request.url, bytes });
    response.writeHead(200, { etag: '"0"' }).end();
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (address !== null && typeof address === 'object') process.send?.({ port: address.port });
});
process.on('disconnect', () => process.exit(0));
