import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The address of Sluice. Vite forwards requests to it, so the browser needs no CORS. */
const sluice = process.env.SLUICE_URL ?? 'http://127.0.0.1:4000';
const proxy = { '/graphql': { target: sluice } };

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  preview: { proxy },
});
