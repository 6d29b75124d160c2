// Decides on requests that come in as JSON, a line each, by @cloud-copilot/iam-simulate (AGPL: run as a program, never linked).
// IAM_SIMULATE is the folder that has its node_modules.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const require = createRequire(pathToFileURL(join(process.env.IAM_SIMULATE, 'x.js')));
const simulate = require.resolve('@cloud-copilot/iam-simulate');
const load = (file) => import(pathToFileURL(join(dirname(simulate), '..', 'esm', file)));
// What runUnsafeSimulation does, but that one forgets to name the resource's policy.
const { authorize } = await load('core_engine/CoreSimulatorEngine.js');
const { AwsRequestImpl } = await load('request/request.js');
const { RequestContextImpl } = await load('requestContext.js');
const { DiscoveryContextKeyConstraints } = await load('context_keys/discoveryContextKeyConstraints.js');
const { loadPolicy } = createRequire(simulate)('@cloud-copilot/iam-policy');

const statement = { Effect: 'Allow', Action: '*', Resource: '*' };
const named = (policy, name) => loadPolicy(policy, { name });
const organization = (Statement) => [{ orgIdentifier: 'o', policies: [named({ Version: '2012-10-17', Statement }, 'all')] }];

for await (const line of createInterface({ input: process.stdin })) {
  const judged = JSON.parse(line);
  const resource = { resource: judged.resource, accountId: judged.resourceAccount };
  const context = new RequestContextImpl(judged.context);
  try {
    const analysis = authorize({
      request: new AwsRequestImpl(judged.principal, resource, judged.action, context),
      sessionPolicy: undefined,
      identityPolicies: judged.identity.map((policy, at) => named(policy, `p${at}`)),
      serviceControlPolicies: organization(statement),
      resourceControlPolicies: organization({ ...statement, Principal: '*' }),
      resourcePolicy: judged.resourcePolicy ? named(judged.resourcePolicy, 'r') : undefined,
      permissionBoundaries: judged.boundary ? [named(judged.boundary, 'b')] : undefined,
      vpcEndpointPolicies: undefined,
      simulationParameters: {
        simulationMode: 'Strict',
        discoveryContextKeyConstraints: new DiscoveryContextKeyConstraints([]),
      },
      serviceSettings: {},
    });
    console.log(analysis.result);
  } catch (error) {
    console.log(`error ${error.message.replaceAll('\n', ' ')}`);
  }
}
