import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Where Sluice answers. The page asks its own host, which passes it on: so there is no CORS to think of. */
const sluice = process.env.SLUICE_URL ?? 'http://127.0.0.1:4000';
const proxy = { '/graphql': { target: sluice } };

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  preview: { proxy },
});
