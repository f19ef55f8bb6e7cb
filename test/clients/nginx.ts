import { findProgram, startProgram } from './debian-program.ts';

export const findNginx = (): Promise<string | null> => findProgram('nginx');

export interface Nginx {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts nginx with these locations. All other directives have their defaults. nginx runs as the user of the test.
 */
export const startNginx = async (program: string, locations: string): Promise<Nginx> => {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const { port, stop } = await startProgram({
    program,
    args: (folder) => ['-p', folder, '-e', `${folder}/error.log`, '-c', `${folder}/nginx.conf`],
    files: (folder, at) => ({
      'nginx.conf': `daemon off;
pid ${folder}/pid;
error_log ${folder}/error.log;
${process.getuid?.() === 0 ? 'user root;' : ''}
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  server {
    listen 127.0.0.1:${at};
    ${locations}
  }
}
`,
    }),
    isReady: (at) =>
      fetch(`http://127.0.0.1:${at}`).then(
        () => true,
        () => false,
      ),
  });
  return { url: `http://127.0.0.1:${port}`, stop };
};
