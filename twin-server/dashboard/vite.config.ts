import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The twin-server serves dist/ at its root; `vite dev` asks one that runs on its default port. */
export default defineConfig({
  plugins: [react()],
  build: { outDir: 'dist', emptyOutDir: true, target: 'es2022' },
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
});
