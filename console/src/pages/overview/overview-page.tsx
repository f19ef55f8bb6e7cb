import { Page } from '../../ui/page.tsx';

export function OverviewPage() {
  return <Page title="Overview">This page is not written yet.</Page>;
}
