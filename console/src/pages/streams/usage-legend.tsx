import { Anchor, Table } from '@mantine/core';
import { ExactNumber } from '../../ui/figures.tsx';
import { formatShare } from './decimals.ts';
import type { Filter } from './selection.ts';
import { Swatch } from './swatch.tsx';
import type { UsageGroup, UsageModel } from './usage-model.ts';

interface LegendProps {
  readonly usage: UsageModel;
  readonly groupBy: string | null;
  readonly filters: readonly Filter[];
  readonly areOthersHidden: boolean;
  /** Called with the index of the group that the chart emphasizes; null for none. */
  readonly onFocus: (group: number | null) => void;
  readonly onShowOnly: (filter: Filter) => void;
  readonly onToggleOthers: () => void;
}

/** The groups of the chart with their totals. The number of a group is also on its colour. */
export function UsageLegend({ usage: { groups, total }, groupBy, onFocus, ...actions }: LegendProps) {
  return (
    <Table className="usage-legend" aria-label="Groups" verticalSpacing={4} highlightOnHover>
      <Table.Thead>
        <Table.Tr>
          <Table.Th scope="col">{groupBy ?? 'Group'}</Table.Th>
          <Table.Th scope="col">Total</Table.Th>
          <Table.Th scope="col">Share</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {groups.map((group, index) => (
          <Table.Tr key={index} onPointerEnter={() => onFocus(index)} onPointerLeave={() => onFocus(null)}>
            <Table.Th scope="row">
              <span className="group-name">
                <Swatch index={index} isOthers={group.isOthers} />
                <GroupName group={group} groupBy={groupBy} {...actions} />
              </span>
            </Table.Th>
            <Table.Td>
              <ExactNumber value={group.total} />
            </Table.Td>
            <Table.Td className="figure">{formatShare(group.total, total)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

interface NameProps extends Omit<LegendProps, 'usage' | 'onFocus'> {
  readonly group: UsageGroup;
}

/** The name of a group: a button that shows only the group, or that hides the others in the chart. */
function GroupName({ group, groupBy, filters, areOthersHidden, onShowOnly, onToggleOthers }: NameProps) {
  const { name, values, isOthers } = group;
  const [value, ...more] = values;
  if (isOthers) {
    return (
      <>
        {name}
        <Anchor
          component="button"
          type="button"
          size="sm"
          aria-label={`${areOthersHidden ? 'Show' : 'Hide'} the others in the chart`}
          onClick={onToggleOthers}
        >
          {areOthersHidden ? 'Show' : 'Hide'}
        </Anchor>
      </>
    );
  }
  const isChosen = filters.some(({ dimension }) => dimension === groupBy);
  if (groupBy === null || value === undefined || more.length > 0 || isChosen) {
    return <span className="breakable">{name}</span>;
  }
  return (
    <Anchor
      component="button"
      type="button"
      className="breakable"
      ta="left"
      title={`Show only ${name}`}
      onClick={() => onShowOnly({ dimension: groupBy, value })}
    >
      {name}
    </Anchor>
  );
}
