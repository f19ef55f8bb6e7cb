import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';
import { docsPages } from './docs-plugin.ts';
import { sentDocuments } from './documents-plugin.ts';

/** Address of the server that `npm run dev` forwards the requests of the API to. */
const sluice = process.env['SLUICE_URL'] ?? 'http://127.0.0.1:4000';

export default defineConfig({
  plugins: [react(), docsPages(), sentDocuments()],
  // Relative addresses: a proxy may serve the console below a path prefix.
  base: './',
  // The server replaces it with a new value for each response.
  html: { cspNonce: 'SLUICE_NONCE' },
  build: {
    license: { fileName: 'licences.md' },
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { '/graphql': { target: sluice } } },
});
