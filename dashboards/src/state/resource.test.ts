import { expect, it } from "vitest";
import { merge } from "./resource";

interface Row {
  id: number;
  state: string;
}
const row = (id: number, state = "old"): Row => ({ id, state });
const ids = (rows: Row[]) => rows.map((item) => item.id);
const id = (item: Row) => String(item.id);

it("puts what came since on top and shows each row in its newest form", () => {
  const merged = merge([row(9), row(8), row(7, "new")], [row(8), row(7), row(6)], id);
  expect(ids(merged)).toEqual([9, 8, 7, 6]);
  expect(merged[2]?.state).toBe("new");
});

it("is the first page alone before a further one was asked for", () => {
  expect(ids(merge([row(2), row(1)], [], id))).toEqual([2, 1]);
});
