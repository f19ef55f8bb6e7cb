import { Alert, Box, Button, Code, Group, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useClient } from 'urql';
import { findProblem, type Problem } from '../../api/problem.ts';
import { CopyButton } from '../../ui/copy.tsx';
import { useField, useJobForm } from './form-context.ts';
import { writeSettings } from './job-values.ts';
import { TEST_DESTINATION } from './jobs-documents.ts';

interface Tested {
  readonly of: string;
  /** Object key that was written. */
  readonly key: string | null;
  /** Whether a policy is missing. It does not help if the bucket does not exist, for example. */
  readonly isDenied: boolean;
  readonly bucketPolicy: string | null;
  readonly problem: Problem | null;
}

/** The destination, and a test that writes an object to it. */
export function DestinationField() {
  const { form } = useJobForm();
  const client = useClient();
  const [isTesting, setTesting] = useState(false);
  const [tested, setTested] = useState<Tested | null>(null);
  const { s3Url, region, bucketOwner, encryption, kmsKeyId } = writeSettings(form.values);
  const input = { s3Url, region, bucketOwner, encryption, kmsKeyId };
  const of = JSON.stringify(input);
  const test = async (): Promise<void> => {
    setTesting(true);
    const result = await client.mutation(TEST_DESTINATION, { input }).toPromise();
    setTesting(false);
    const answer = result.data?.testDestination;
    const refusal = answer?.__typename === 'DestinationError' ? answer : null;
    setTested({
      of,
      key: answer?.__typename === 'DestinationTest' ? answer.key : null,
      isDenied: refusal?.reason === 'ACCESS_DENIED',
      bucketPolicy: refusal?.bucketPolicy ?? null,
      problem: findProblem(result),
    });
  };
  return (
    <Stack gap="xs">
      <Box className="with-button">
        <TextInput
          label="Destination"
          description="Bucket and path. {yyyy}, {MM}, {dd} and {HH} stand for the start of the window, {job} for the name."
          placeholder="s3://my-bucket/usage/{yyyy}/{MM}"
          autoComplete="off"
          spellCheck={false}
          required
          {...useField('s3Url')}
        />
        <Button variant="default" h={42} loading={isTesting} disabled={s3Url === ''} onClick={() => void test()}>
          Test destination
        </Button>
      </Box>
      <div role="status">{tested?.of === of && <TestResult tested={tested} />}</div>
    </Stack>
  );
}

function TestResult({ tested: { key, isDenied, bucketPolicy, problem } }: { readonly tested: Tested }) {
  if (problem === null) {
    return (
      <Alert color="green" variant="light" title="The destination works">
        Sluice wrote <Code className="breakable">{key}</Code>. The object can be deleted.
      </Alert>
    );
  }
  return (
    <Alert color="red" variant="light" title={problem.message}>
      {bucketPolicy !== null && (
        <details open={isDenied}>
          <summary>Policy that lets Sluice write below the path</summary>
          <Stack gap="xs" mt="xs">
            <Text size="sm">The owner of the bucket attaches it to the bucket.</Text>
            <Code block tabIndex={0} aria-label="Bucket policy" className="scrolled">
              {bucketPolicy}
            </Code>
            <Group>
              <CopyButton text={bucketPolicy} name="policy" />
            </Group>
          </Stack>
        </details>
      )}
    </Alert>
  );
}
