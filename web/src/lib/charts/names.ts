// What a series is called in a chart.

import type { Dict } from '$lib/i18n/index.svelte';
import type { Metric } from './catalogue';
import type { Column } from './data';

/** Measure and label; empty where the chart's title says it all. */
export function seriesName(column: Pick<Column, 'metric' | 'label'>, dict: Dict): string {
  const measure = dict.charts.series[column.metric as Metric];
  // One says "core 3", but "eth0 received".
  if (column.metric === 'cpu.core_usage') return `${measure} ${column.label}`;
  return column.label === '' ? measure : measure === '' ? column.label : `${column.label} ${measure}`;
}
