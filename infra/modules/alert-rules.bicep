// Who is told, and of what. These rules watch the system; alerts about drones are the app's own.

param name string
param location string
param tags { *: string }
param workspaceId string
param eventHubsNamespaceId string
@description('How long the hub keeps events.')
param retentionHours int
param alertEmail string
param actionGroupIds string[]
@description('Empty without an IoT hub.')
param iotHubId string
param iotHubDailyMessages int
param alertOnSilence bool

resource byEmail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: 'ag-${name}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: name
    enabled: true
    emailReceivers: [{ name: 'operator', emailAddress: alertEmail, useCommonAlertSchema: true }]
  }
}

var actionGroups = concat(actionGroupIds, empty(alertEmail) ? [] : [byEmail.id])
var isTold = !empty(alertEmail) || !empty(actionGroupIds)

// Each query gives a `value`, and a `subject` that is told apart: one alert for each reason, queue or function.
// What is counted rests on what nothing samples: the handler's metrics, the hub's, the queues' own log, and the host's requests,
// which host.json exempts. Lines of the log only say what no metric does, and no rule needs each of them.
// Severity: 0 loses data, 1 gets somebody up, 2 waits for the morning. `every` is how often a rule looks, five minutes where it
// does not say: seldom is cheaper. infra/runbook.md has each rule.
var queries = [
  {
    name: 'retention'
    title: 'Events are about to be lost: a partition is three quarters of the hub\'s retention behind'
    severity: 0
    query: loadTextContent('../queries/alert-lag.kql')
    window: 'PT10M'
    above: retentionHours * 2700
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'loss'
    title: 'Of a day\'s events one in a hundred was finished by no call of a function'
    severity: 1
    query: loadTextContent('../queries/alert-loss.kql')
    window: 'P1D'
    every: 'PT15M'
    above: 1
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'freshness-fast'
    title: 'The latest state is late: at this rate a month\'s budget of late events is gone in two days'
    severity: 1
    query: loadTextContent('../queries/alert-freshness-fast.kql')
    window: 'PT1H'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'freshness-slow'
    title: 'The latest state is late now and then: at this rate a month\'s budget of late events is gone in five days'
    severity: 2
    query: loadTextContent('../queries/alert-freshness-slow.kql')
    window: 'PT6H'
    every: 'PT15M'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'dead-letters'
    title: 'Events are being dead-lettered'
    severity: 2
    query: loadTextContent('../queries/alert-dead-letters.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'poison-queue'
    title: 'Messages could not be delivered or worked off'
    severity: 1
    help: 'In drone-alerts-poison: alerts that no receiver has taken for a day. In insight-units-poison: hours that could not be summarised, see infra/INSIGHTS.md.'
    query: loadTextContent('../queries/alert-poison.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'lag'
    title: 'A function is more than two minutes behind the hub'
    severity: 1
    help: 'Of the partitions the worst counts, and the workbook shows which it is. One that stands still while the others go on: see "A partition that stands still" in infra/OPERATIONS.md.'
    query: loadTextContent('../queries/alert-lag.kql')
    window: 'PT10M'
    above: 120
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'failures'
    title: 'A function keeps failing'
    severity: 1
    help: 'Where the exceptions say "Exception binding parameter", a device sends a body that the host cannot bind, and its partition stands still in every function: see "A partition that stands still" in infra/OPERATIONS.md.'
    query: loadTextContent('../queries/alert-failures.kql')
    window: 'PT15M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'behind'
    title: 'Events come in, and a function does not work them off'
    severity: 1
    help: 'Where hosts start again and again, are events larger than largestEventKb? See "How large an event may be" in infra/COSTS.md.'
    query: loadTextContent('../queries/alert-behind.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'webhook'
    title: 'The webhook does not take alerts'
    severity: 1
    query: loadTextContent('../queries/alert-webhook.kql')
    window: 'PT30M'
    above: 2
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'cosmos-429'
    title: 'Cosmos DB turns away one request in twenty: raise the throughput, or let batches wait longer'
    severity: 2
    query: loadTextContent('../queries/alert-cosmos-429.kql')
    window: 'PT15M'
    above: 5
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'insights'
    title: 'For two hours some of what the fleet did has not been summarised, or units keep failing'
    severity: 2
    help: 'Hours of partitions that are over have waited for two hours, or nobody has looked for them: see infra/INSIGHTS.md.'
    query: loadTextContent('../queries/alert-insights.kql')
    window: 'PT3H'
    every: 'PT15M'
    above: 0
    aggregation: 'Maximum'
    enabled: true
  }
  {
    name: 'own-telemetry'
    title: 'The system is watched with half an eye: logs, metrics or spans are lost'
    severity: 2
    query: loadTextContent('../queries/alert-own-telemetry.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Total'
    enabled: true
  }
  {
    name: 'silence'
    title: 'Nothing has arrived for 20 minutes'
    severity: 1
    query: loadTextContent('../queries/alert-silence.kql')
    window: 'PT30M'
    above: 0
    aggregation: 'Maximum'
    enabled: alertOnSilence
  }
]

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in queries: {
    name: '${name}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.?help ?? rule.title
      severity: rule.severity
      // A rule is paid for by the month, so none is on that would tell nobody.
      enabled: rule.enabled && isTold
      scopes: [workspaceId]
      evaluationFrequency: rule.?every ?? 'PT5M'
      windowSize: rule.window
      // The tables appear with their first line.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: rule.aggregation
            metricMeasureColumn: 'value'
            dimensions: [{ name: 'subject', operator: 'Include', values: ['*'] }]
            operator: 'GreaterThan'
            threshold: rule.above
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: actionGroups }
      autoMitigate: true
    }
  }
]

resource throttledDrones 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${name}-event-hubs-throttled'
  location: 'global'
  tags: tags
  properties: {
    description: 'Event Hubs turns events away: add throughput units'
    severity: 1
    enabled: isTold
    scopes: [eventHubsNamespaceId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'throttled'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'ThrottledRequests'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
        }
      ]
    }
    actions: [
      for id in actionGroups: { actionGroupId: id }
    ]
    autoMitigate: true
  }
}

// Each of these is an event that a drone sent and the hub did not get.
var iotHubRules = [
  {
    name: 'dropped'
    metric: 'd2c.telemetry.egress.dropped'
    description: 'IoT Hub drops events: the route to the Event Hub fails'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'orphaned'
    metric: 'd2c.telemetry.egress.orphaned'
    description: 'Events match no route of the IoT hub'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'throttled'
    metric: 'd2c.telemetry.ingress.sendThrottle'
    description: 'IoT Hub throttles drones: add units'
    above: 0
    aggregation: 'Total'
  }
  {
    name: 'quota'
    metric: 'dailyMessageQuotaUsed'
    description: 'Nine tenths of the messages that the IoT hub takes a day are used; beyond it drones are turned away'
    above: iotHubDailyMessages / 10 * 9
    aggregation: 'Maximum'
  }
]

resource iotHubAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for rule in iotHubRules: if (!empty(iotHubId)) {
    name: '${name}-iot-hub-${rule.name}'
    location: 'global'
    tags: tags
    properties: {
      description: rule.description
      severity: 1
      enabled: isTold
      scopes: [iotHubId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: rule.name
            metricNamespace: 'Microsoft.Devices/IotHubs'
            metricName: rule.metric
            timeAggregation: rule.aggregation
            operator: 'GreaterThan'
            threshold: rule.above
          }
        ]
      }
      actions: [
        for id in actionGroups: { actionGroupId: id }
      ]
      autoMitigate: true
    }
  }
]

output actionGroups string[] = actionGroups
