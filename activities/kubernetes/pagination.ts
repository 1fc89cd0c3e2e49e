/** One page of a list, as the API server returns it. */
interface Page<T> {
  items: T[];
  metadata?: { _continue?: string };
}

/** Maximum number of objects in one page. */
const pageSize = 500;

/** Parameters of a request for one page of a list. */
export interface PageOf {
  limit: number;
  _continue?: string;
}

/**
 * Reads a list page by page.
 * @param read reads one page; returns undefined when the list does not exist.
 */
export async function allPages<T>(read: (which: PageOf) => Promise<Page<T> | undefined>): Promise<T[]> {
  const found: T[] = [];
  let from: string | undefined;
  do {
    const page = await read({ limit: pageSize, ...(from !== undefined && { _continue: from }) });
    found.push(...(page?.items ?? []));
    from = page?.metadata?._continue;
  } while (from !== undefined && from !== '');
  return found;
}
