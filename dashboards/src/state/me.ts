// Who sits before the console, as the server knows them, and what they may do.

import { createContext, useContext } from "react";
import type { Me, Permission } from "../api/desk";

/** Null while it is not known: then everything is offered, and the server says no where it must. */
export const MeContext = createContext<Me | null>(null);

export const useMe = (): Me | null => useContext(MeContext);

export function may(me: Me | null, permission: Permission): boolean {
  return me === null || me.may.includes(permission);
}

/** Why something is not offered, in words; null when it is. */
export function refusal(me: Me | null, permission: Permission, what: string): string | null {
  return me === null || may(me, permission) ? null : `Your role (${me.roles.join(", ")}) may not ${what}.`;
}
