import { BaseSequencer, type TestSequencerConstructor, type TestSpecification } from 'vitest/node';

/** Returns a sequencer that starts one file first: it takes longer than any other, so it would run alone at the end. */
export function longestFirst(file: string): TestSequencerConstructor {
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      const sorted = await super.sort(files);
      return sorted.toSorted((a, b) => Number(b.moduleId.endsWith(file)) - Number(a.moduleId.endsWith(file)));
    }
  };
}
