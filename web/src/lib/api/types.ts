// Short names for the shapes the hub speaks. They are generated from hub/openapi.json (npm run types).

import type { components } from './schema';

type Schemas = components['schemas'];

export type Agent = Schemas['Agent'];
export type AgentAuthority = Schemas['AgentAuthority'];
export type AgentToken = Schemas['AgentToken'];
export type Alert = Schemas['Alert'];
export type ApiToken = Schemas['ApiToken'];
export type Backups = Schemas['Backups'];
export type CollectError = Schemas['CollectError'];
export type Event = Schemas['Event'];
export type Certificate = Schemas['Certificate'];
export type Credential = Schemas['Credential'];
export type CredentialKind = Schemas['CredentialKind'];
export type EventKind = Schemas['EventKind'];
export type FieldCode = Schemas['FieldCode'];
export type FieldError = Schemas['FieldError'];
export type Filesystem = Schemas['Filesystem'];
export type FleetAnswer = Schemas['FleetAnswer'];
export type FleetGroup = Schemas['FleetGroup'];
export type Health = Schemas['Health'];
export type HostAuthority = Schemas['HostAuthority'];
export type HubKey = Schemas['HubKeyView'];
export type HostKey = Schemas['HostKey'];
export type HostKeyAnswer = Schemas['HostKeyAnswer'];
export type ImportAnswer = Schemas['ImportAnswer'];
export type ImportPlan = Schemas['ImportPlan'];
export type ImportRow = Schemas['ImportRow'];
export type ImportTestLine = Schemas['ImportTestLine'];
export type Latest = Schemas['Latest'];
export type Level = Schemas['Level'];
export type MetricRow = Schemas['MetricRow'];
export type NewAgentTokenAnswer = Schemas['NewAgentTokenAnswer'];
export type NewTokenAnswer = Schemas['NewTokenAnswer'];
export type PendingAgent = Schemas['PendingAgent'];
export type RemarkCode = Schemas['RemarkCode'];
export type RetentionAges = Schemas['RetentionAges'];
export type RetentionAnswer = Schemas['RetentionAnswer'];
export type Role = Schemas['Role'];
export type SeriesAnswer = Schemas['SeriesAnswer'];
export type Server = Schemas['Server'];
export type ServerPatchRequest = Schemas['ServerPatchRequest'];
export type ServerRequest = Schemas['ServerRequest'];
export type SessionAnswer = Schemas['SessionAnswer'];
export type SessionUser = Schemas['SessionUser'];
export type SetupAnswer = Schemas['SetupAnswer'];
export type SshAgent = Schemas['SshAgentView'];
export type SshAccess = Schemas['SshView'];
export type Snapshot = Schemas['Snapshot'];
export type SnapshotAnswer = Schemas['SnapshotAnswer'];
export type Stats = Schemas['Stats'];
export type Status = Schemas['Status'];
export type Storage = Schemas['Storage'];
export type TestAnswer = Schemas['TestAnswer'];
export type Transport = Schemas['Transport'];
export type User = Schemas['User'];

/** Values for a sentence. */
export type Params = Record<string, unknown>;
