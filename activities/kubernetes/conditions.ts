/** True when the object, a node or a pod, has the condition Ready. */
export function isReady({ status }: { status?: { conditions?: { type: string; status: string }[] } }): boolean {
  return status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') === true;
}
