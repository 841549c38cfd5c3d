// 中文，每页一个文件。类型即英文词典：缺一个键就无法编译。

import type { Dict } from '../en';
import * as agents from './agents';
import * as alerts from './alerts';
import * as charts from './charts';
import * as common from './common';
import * as credentials from './credentials';
import * as data from './data';
import * as entrance from './entrance';
import { errorsZh } from './errors';
import * as events from './events';
import { fieldsZh } from './fields';
import * as fleet from './fleet';
import * as form from './form';
import * as imports from './imports';
import * as server from './server';
import * as settings from './settings';
import * as ssh from './ssh';

export const zh: Dict = {
  name: '中文',
  ...common,
  ...entrance,
  ...fleet,
  ...server,
  ...charts,
  ...form,
  ...imports,
  ...agents,
  ...alerts,
  ...credentials,
  ...data,
  ...events,
  ...settings,
  ...ssh,
  errors: errorsZh,
  fields: fieldsZh,
};
