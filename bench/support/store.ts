/**
 * A process that answers PutObject and keeps nothing: the store of a measurement must cost the machine as little as one
 * that is somewhere else. Tells its parent the port, and for each object its key and length.
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
