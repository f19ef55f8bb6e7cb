import { Page } from '../../ui/page.tsx';

export function StreamPage() {
  return <Page title="Stream">This page is not written yet.</Page>;
}
