// Pure: what the page says about the state of a delivery.

export const DELIVERY_STATES = [
  { value: 'CURRENT', label: 'Delivered', meaning: 'The file agrees with the ledger.' },
  {
    value: 'TOUCHED',
    label: 'Touched',
    meaning: 'An operation has touched the window since the delivery. Whether its rows differ is checked soon.',
  },
  { value: 'STALE', label: 'Stale', meaning: 'The rows of the file differ from the ledger.' },
  { value: 'MISSING', label: 'Missing', meaning: 'The window was never delivered.' },
  {
    value: 'SUPERSEDED',
    label: 'Superseded',
    meaning: 'Windows that were delivered later are responsible for all of its buckets.',
  },
  {
    value: 'RETIRED',
    label: 'Retired',
    meaning: 'The output of the job has changed since the delivery, or the job was deleted.',
  },
] as const;

export type DeliveryStateName = (typeof DELIVERY_STATES)[number]['value'];

export function describeState(state: DeliveryStateName): string {
  return DELIVERY_STATES.find(({ value }) => value === state)?.meaning ?? '';
}
