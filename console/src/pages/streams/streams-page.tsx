import { Page } from '../../ui/page.tsx';

export function StreamsPage() {
  return <Page title="Streams">This page is not written yet.</Page>;
}
