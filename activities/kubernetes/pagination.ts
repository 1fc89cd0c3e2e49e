/** One page of a list, as the API server returns it. */
interface Page<T> {
  items: T[];
  metadata?: { _continue?: string };
}

/** Maximum number of objects in one page. */
const pageSize = 500;

/** Parameters of a request for one page of a list. */
export interface PageRequest {
  limit: number;
  _continue?: string;
}

/**
 * Reads a list page by page.
 * @param read reads one page; returns undefined when the list does not exist.
 */
export async function allPages<T>(read: (request: PageRequest) => Promise<Page<T> | undefined>): Promise<T[]> {
  const items: T[] = [];
  let continueToken: string | undefined;
  do {
    const page = await read({ limit: pageSize, ...(continueToken !== undefined && { _continue: continueToken }) });
    items.push(...(page?.items ?? []));
    continueToken = page?.metadata?._continue;
  } while (continueToken !== undefined && continueToken !== '');
  return items;
}
