import { Page } from '../../ui/page.tsx';

export function JobsPage() {
  return <Page title="Jobs">This page is not written yet.</Page>;
}
