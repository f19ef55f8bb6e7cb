import '@mantine/core/styles.css';
import '@mantine/notifications/styles.css';
import './styles.css';
import { createRoot } from 'react-dom/client';
import { readAddresses } from './api/address.ts';
import { openSession } from './api/session.ts';
import { App } from './app.tsx';
import { provideNonce } from './shell/nonce.ts';

const root = document.querySelector('#root');
if (root === null) throw new Error('index.html has no #root.');
provideNonce();
// The key leaves the address before anything is rendered or requested.
const session = await openSession();
createRoot(root).render(<App session={session} addresses={readAddresses(document.baseURI)} />);
