// What people do with what was found: who they are, responses that wait for them, cases, kept searches.

import type { Note, TriageState } from "./types";

export type Permission = "read" | "investigate" | "triage" | "suppress" | "respond" | "trail";

/** Who asks, as the server knows them. */
export interface Me {
  name: string;
  roles: string[];
  /** Whose data they see; null when they see all tenants'. */
  tenant: string | null;
  may: Permission[];
}

export interface Ruling {
  author: string;
  approves: boolean;
  reason: string | null;
  time: string;
}

/** A response that waits for people, or waited. */
export interface Approval {
  id: string;
  ref: string;
  tenant: string;
  state: "waiting" | "approved" | "denied" | "expired";
  action: string;
  /** Why it waits: `budget` or `blast_radius`. */
  reason: string;
  finding: string;
  agent: string | null;
  task: string | null;
  root_task: string | null;
  credentials: string[];
  credentials_hit: number;
  tasks_hit: number;
  asked_at: string;
  expires_at: string;
  approvals: number;
  rulings: Ruling[];
}

/** Findings that are worked on together. */
export interface Case {
  id: string;
  tenant: string;
  title: string;
  state: TriageState;
  assignee: string | null;
  opened_by: string;
  opened_at: string;
  changed_by: string;
  changed_at: string;
  findings: string[];
  notes: Note[];
}

export interface CaseOpening {
  title: string;
  findings?: string[];
  note?: string;
  tenant?: string;
}

export interface CaseChange {
  state?: TriageState;
  assignee?: string;
  note?: string;
  add?: string[];
  remove?: string[];
}

export interface SavedSearch {
  id: string;
  tenant: string;
  name: string;
  /** Its parameters, as in an address. */
  query: string;
  author: string;
  saved_at: string;
}

export interface SuppressionRequest {
  finding_id?: string;
  rule_id?: string;
  agent_uid?: string;
  tenant?: string;
  until: string;
  reason: string;
}
