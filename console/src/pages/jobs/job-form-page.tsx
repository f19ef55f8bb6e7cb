import { Page } from '../../ui/page.tsx';

export function JobFormPage() {
  return <Page title="Job form">This page is not written yet.</Page>;
}
