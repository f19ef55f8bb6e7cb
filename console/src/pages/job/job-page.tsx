import { Page } from '../../ui/page.tsx';

export function JobPage() {
  return <Page title="Job">This page is not written yet.</Page>;
}
