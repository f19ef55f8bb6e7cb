import { partition } from '@aws-sdk/core/client';

/**
 * Returns why a job cannot have this region; null if it can. On AWS the region must be in the SDK's table of partitions, because
 * it is a part of the host name. Other stores choose their own names, and the endpoint does not depend on them.
 */
export function findRegionProblem(region: string, isAws: boolean): string | null {
  if (isAws) {
    // The table has a description of each region. For other names the SDK returns the partition that their form suggests.
    const isKnown = /^[a-z]{2}(-[a-z]+)+-\d$/.test(region) && 'description' in partition(region);
    return isKnown ? null : 'Must be the name of a region of AWS, such as "eu-central-1".';
  }
  return /^[a-z0-9-]{1,64}$/.test(region)
    ? null
    : 'Must be the name of a region, such as "us-west-004" or "auto": 1 to 64 lower-case letters, digits and hyphens.';
}
